"""What training code imports: the standard library is all it loads."""
