"""The leak hangs from a local of main(), so all of it is freed when main() returns:
before that the process has grown for as long as it ran."""
# expect: leak line 23 type __main__.Ticket
import time

REQUESTS = 900


class Ticket:
    def __init__(self, number):
        self.number = number
        self.done = False


class Desk:
    def __init__(self):
        self.tickets = {}

    def request(self, number):
        self.tickets[number] = self.new_ticket(number)

    def new_ticket(self, number):
        return Ticket(number)  # leak


def main():
    desk = Desk()
    for number in range(REQUESTS):  # kept with it
        desk.request(number)
        time.sleep(0.003)


main()
