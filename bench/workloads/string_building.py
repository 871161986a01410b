"""Text put together and taken apart."""


def run():
    length = 0
    for i in range(250_000):
        line = f"{i}: " + "value=" + str(i * 3)
        fields = line.upper().split("=")
        length += len("|".join(fields).replace("VALUE", "v"))
    return length
