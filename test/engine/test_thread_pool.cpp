#include "cpu/thread_pool.h"

#include <set>

#include "test/engine/check.h"
#include "test/engine/failing_threads.h"

using namespace skrr;
using cpu::ThreadPool;

namespace {

void every_task_runs_once() {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (int count : {0, 1, 3, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(count));
      std::atomic<bool> worker_in_range{true};
      pool.run(count, CancelFlag(), [&](int task, int worker) {
        runs[size_t(task)]++;
        if (worker < 0 || worker >= threads) worker_in_range = false;
      });
      for (const auto& run : runs) CHECK(run == 1);
      CHECK(worker_in_range);
    }
  }
}

void many_short_loops_in_a_row() {
  ThreadPool pool(3);
  std::atomic<long> sum{0};
  for (int i = 0; i < 5000; i++) pool.run(7, CancelFlag(), [&](int task, int) { sum += task; });
  CHECK(sum == 5000L * 21);
}

void an_exception_stops_the_loop_and_arrives() {
  ThreadPool pool(2);
  std::atomic<int> runs{0};
  bool arrived = false;
  try {
    pool.run(100000, CancelFlag(), [&](int task, int) {
      runs++;
      if (task == 10) throw Error("ERR_ENGINE", "task 10");
    });
  } catch (const Error& error) {
    arrived = std::string(error.what()) == "task 10";
  }
  CHECK(arrived);
  CHECK(runs < 100000);
  pool.run(4, CancelFlag(), [&](int, int) {});  // and the pool works on
}

void a_raised_flag_stops_the_loop() {
  ThreadPool pool(2);
  CancelFlag cancel;
  std::atomic<int> runs{0};
  bool cancelled = false;
  try {
    pool.run(100000, cancel, [&](int task, int) {
      runs++;
      if (task == 50) cancel.raise();
    });
  } catch (const Cancelled&) {
    cancelled = true;
  }
  CHECK(cancelled);
  CHECK(runs < 100000);
}

void threads_that_do_not_start_are_an_error() {
  for (const int possible : {0, 1, 5}) {
    threads_to_start = possible;
    std::string message;
    try {
      ThreadPool pool(12);
    } catch (const Error& error) {
      message = error.what();
      CHECK(std::string(error.code) == "ERR_ENGINE");
    }
    threads_to_start = INT_MAX;
    CHECK(message.find("threads cannot be started: found " + std::to_string(possible + 1) + " of 12 (") == 0);
  }
  ThreadPool pool(2);
  pool.run(4, CancelFlag(), [&](int, int) {});
}

}  // namespace

int main() {
  every_task_runs_once();
  many_short_loops_in_a_row();
  an_exception_stops_the_loop_and_arrives();
  a_raised_flag_stops_the_loop();
  threads_that_do_not_start_are_an_error();
  return finish("thread_pool");
}
