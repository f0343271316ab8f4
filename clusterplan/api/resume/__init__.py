"""The use case `resume`: decided and checked, then submitted."""
