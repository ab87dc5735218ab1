# Prints how many bytes of heap the import of a module keeps, after that of the modules that are named before it.

import gc
import sys

for name in sys.argv[1:-1]:
    __import__(name)
gc.collect()
before = gc.mem_alloc()
__import__(sys.argv[-1])
gc.collect()
print(gc.mem_alloc() - before)
