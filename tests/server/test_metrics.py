import os
import subprocess
import sys
import timeit

from prometheus_client.parser import text_string_to_metric_families

from modelport.server.exchange import Request, Response
from modelport.server.metrics import Metrics, ServedModel, ServerMetrics, Tally


class Kept:
    closed = False

    def send(self, response: Response) -> None:
        self.response = response


def scrape(tally: Tally) -> dict[tuple[str, ...], float]:
    reply = Kept()
    ServerMetrics(tally, ServedModel("iris", "v1", "SCIKIT_LEARN"))(Request(b"GET", b"/metrics"), reply)
    assert reply.response.content_type.startswith(b"text/plain")
    return {
        (sample.name.removeprefix("modelport_server_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(reply.response.body.decode())
        for sample in family.samples
    }


def test_a_scrape_shows_what_was_counted():
    tally = Tally()
    metrics = Metrics(tally)
    for code in (200, 200, 400, 418):
        metrics.begun()
        metrics.answered(code)
    metrics.begun()
    for _ in range(3):
        metrics.came()
    metrics.went(2)
    metrics.waited(0.0002)
    metrics.waited(100.0)
    metrics.called(3, 0.001)
    metrics.failed()
    seen = scrape(tally)
    assert seen["requests_total", "200"] == 2
    assert seen["requests_total", "400"] == 1
    assert seen["requests_total", "other"] == 1
    assert seen["in_flight",] == 1
    assert seen["waiting",] == 1
    assert seen["queue_seconds_bucket", "0.0001"] == 0
    assert seen["queue_seconds_bucket", "0.00025"] == 1
    assert seen["queue_seconds_bucket", "+Inf"] == seen["queue_seconds_count",] == 2
    assert seen["queue_seconds_sum",] == 100.0002
    assert seen["predict_seconds_bucket", "0.001"] == 1
    assert seen["batch_rows_bucket", "2.0"] == 0
    assert seen["batch_rows_bucket", "4.0"] == 1
    assert seen["rows_total",] == seen["batch_rows_sum",] == 3
    assert seen["failed_calls_total",] == 1
    assert seen["model_info", "SCIKIT_LEARN", "iris", "v1"] == 1


def test_a_scrape_shows_the_sum_over_forked_workers():
    tally = Tally(3)
    children = []
    for worker in range(3):
        child = os.fork()
        if not child:
            Metrics(tally, worker).called(2 * worker, 0.5)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    seen = scrape(tally)
    assert seen["rows_total",] == 6
    assert seen["predict_seconds_sum",] == 1.5
    assert seen["workers",] == 3


def test_a_worker_in_a_dead_ones_place_goes_on_from_its_counts_with_nothing_under_way():
    tally = Tally(2)
    dead = Metrics(tally, 1)
    for _ in range(5):
        dead.begun()
        dead.came()
    dead.answered(200)
    dead.went(1)
    assert scrape(tally)["in_flight",] == 4
    Metrics(tally, 1).begun()
    seen = scrape(tally)
    assert seen["in_flight",] == 1
    assert seen["waiting",] == 0
    assert seen["requests_total", "200"] == 1


def test_counting_a_request_costs_little():
    metrics = Metrics()

    def request() -> None:
        metrics.begun()
        metrics.came()
        metrics.went(1)
        metrics.called(1, 0.0001)
        metrics.waited(0.0001)
        metrics.answered(200)

    best = min(timeit.repeat(request, number=1000, repeat=20)) / 1000
    assert best < 10e-6  # 1.5 on an idle machine; this catches another order of magnitude


def test_the_library_is_imported_at_the_first_scrape_only():
    code = "import sys, modelport.server.metrics; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
