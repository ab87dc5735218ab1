from . import aio as aio
from . import client as client
from . import response as response
