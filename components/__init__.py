"""What pages draw with: keys from the URL, cached access, pure drawing functions, the token strip."""
