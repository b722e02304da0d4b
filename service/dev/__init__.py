"""Development mode: the three services in one process, with no server to install; draws their traces as trees."""
