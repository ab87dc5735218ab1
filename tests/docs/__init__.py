"""Every command and code block of the README, of CONTRIBUTING and of docs/ is executed, and what it shows is compared."""
