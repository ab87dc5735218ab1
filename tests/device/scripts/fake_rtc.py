# Stands in for the firmware's module `machine` with a real-time clock that can be set: it writes the file from which
# libfaketime takes this process's time.


class RTC:
    def datetime(self, value):
        year, month, day, weekday, hour, minute, second, _ = value
        print("[rtc] set to %d-%02d-%02d, day %d of the week" % (year, month, day, weekday))
        with open("/faketime", "w") as file:
            file.write("@%d-%02d-%02d %02d:%02d:%02d\n" % (year, month, day, hour, minute, second))
