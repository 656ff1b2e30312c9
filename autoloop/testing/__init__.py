"""Contract checks and toy engines that anyone may import."""
