"""What starts runs by itself: the sensor of the watched folder and the schedules."""
