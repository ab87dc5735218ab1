"""What stands in for boards, drives and servers in the tests of the flashing commands."""
