"""Development mode: all three services in one process, with nothing installed beside Python, their traces as trees."""
