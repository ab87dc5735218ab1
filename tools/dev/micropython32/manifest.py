# Frozen as on boards, so that importing it costs no heap for its bytecode.
include("$(MPY_DIR)/extmod/asyncio")
