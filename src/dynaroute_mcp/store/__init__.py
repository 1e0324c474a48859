"""Keys, plans, calls and counters, kept where several processes can share them."""
