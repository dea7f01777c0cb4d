"""What the tests and the Makefile need from the machine: a virtual environment, a private MariaDB, a load generator."""
