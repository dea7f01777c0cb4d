"""The tests of minihttp, and in `support` what they and the Makefile need from the machine."""
