"""From the release before to this one and back, with data in place and traffic going on."""
