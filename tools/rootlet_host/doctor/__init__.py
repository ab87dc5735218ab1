"""`rootlet doctor`: examines a board, and a connection that it makes."""
