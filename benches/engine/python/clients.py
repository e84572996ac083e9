"""Clients that stream at the same time."""

import threading
import time


def streams(clients, stream):
    """Runs `stream(index)`, which returns when its tokens came, in a thread for each client.

    Returns the times in seconds since all of them began.
    """
    times, failures = [None] * clients, []

    def client(index):
        try:
            times[index] = stream(index)
        except BaseException as failure:
            failures.append(failure)

    start = time.perf_counter()
    threads = [threading.Thread(target=client, args=(index,)) for index in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {"streams": [[at - start for at in row] for row in times]}
