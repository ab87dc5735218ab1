"""Every command and code block of README, CONTRIBUTING and docs/ is executed; what it shows is compared."""
