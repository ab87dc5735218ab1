# As job_again, three times: what rootlet.memory decides by is what is free where that just works. See run_job.py.


def run(host, port, ca, stores, phase):
    from job_again import run

    return run(host, port, ca, stores, phase, 3)
