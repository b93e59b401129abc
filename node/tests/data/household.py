"""A household's books as three CSV files, out of the generator that comes with beancount.

    python household.py SEED FOLDER

Transactions of several legs become pairs of legs, in the order of the books. What is not dollars is
left out, and where dollars paid for it, or were paid for it, `Equity:Securities` stands in its place.
An account that is ever below zero may be.
"""

import csv
import datetime
import subprocess
import sys
import tempfile
import zlib
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from beancount import loader
from beancount.core import data

BEGIN, END = "2023-01-01", "2025-06-30"
REGIONS = ["eu-west", "us-east", "ap-south"]
SECURITIES = "Equity:Securities"


def generated(seed):
    with tempfile.NamedTemporaryFile(suffix=".beancount") as books:
        generator = Path(sys.executable).with_name("bean-example")
        dates = ["--date-begin", BEGIN, "--date-end", END]
        command = [generator, "--seed", seed, *dates, "--output", books.name]
        subprocess.run(command, check=True)
        entries, errors, _ = loader.load_file(books.name)
    assert not errors, errors
    return entries


def cents(number):
    return int((number * 100).quantize(Decimal(1)))


def legs(transaction):
    """Account and cents; together they are zero."""
    dollars = defaultdict(int)
    for posting in transaction.postings:
        if posting.units.currency == "USD":
            dollars[posting.account] += cents(posting.units.number)
    dollars[SECURITIES] -= sum(dollars.values())
    return [(account, amount) for account, amount in dollars.items() if amount]


def pairs(legs):
    """From, to and cents."""
    payers = [[account, -amount] for account, amount in legs if amount < 0]
    payees = [[account, amount] for account, amount in legs if amount > 0]
    while payers:
        (payer, gives), (payee, takes) = payers[0], payees[0]
        amount = min(gives, takes)
        yield payer, payee, amount
        for side in payers, payees:
            side[0][1] -= amount
            if not side[0][1]:
                side.pop(0)


def main(seed, folder):
    transfers, balances, left, lowest = [], [], defaultdict(int), defaultdict(int)
    for number, entry in enumerate(generated(seed), 1):
        if isinstance(entry, data.Balance) and entry.amount.currency == "USD":
            balances.append([entry.date, entry.account, "USD", cents(entry.amount.number)])
        if not isinstance(entry, data.Transaction):
            continue
        memo = " | ".join(filter(None, [entry.payee, entry.narration]))
        for payer, payee, amount in pairs(legs(entry)):
            row = [entry.date, f"t{number:05}", memo, payer, payee, "USD", amount]
            transfers.append([len(transfers) + 1, *row])
            left[payer] -= amount
            left[payee] += amount
            lowest[payer] = min(lowest[payer], left[payer])
    balances = [row for row in balances if row[1] in left]
    # The first day after all of it.
    end = datetime.date.fromisoformat(END) + datetime.timedelta(days=1)
    balances += [[end, account, "USD", left[account]] for account in sorted(left)]
    accounts = []
    for account in sorted(left):
        home = REGIONS[zlib.crc32(account.encode()) % len(REGIONS)]
        below = str(lowest[account] < 0).lower()
        accounts.append([account, home, "USD", below, BEGIN])
    write(folder, "accounts", "account,home_region,currency,may_go_negative,opened_on", accounts)
    head = "seq,effective_date,transaction,memo,from_account,to_account,currency,amount_minor"
    write(folder, "transfers", head, transfers)
    write(folder, "balances", "as_of_date,account,currency,amount_minor", balances)


def write(folder, name, head, rows):
    with open(Path(folder, f"{name}.csv"), "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(head.split(","))
        out.writerows(rows)


main(*sys.argv[1:])
