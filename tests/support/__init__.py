"""What the tests share: certificates made on the spot, servers, and the Unix port as a board."""
