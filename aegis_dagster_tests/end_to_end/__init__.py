"""The whole system from outside: commands, kills, money, monitoring."""
