#include "engine/job_queue.h"

#include <future>

#include "test/engine/check.h"
#include "test/engine/failing_threads.h"

using namespace skrr;

namespace {

void jobs_run_in_order_on_one_thread() {
  JobQueue queue;
  std::vector<int> order;
  std::promise<void> last;
  for (int i = 0; i < 100; i++) {
    queue.submit(std::make_shared<CancelFlag>(), [&order, &last, i] {
      order.push_back(i);
      if (i == 99) last.set_value();
    });
  }
  last.get_future().wait();
  for (int i = 0; i < 100; i++) CHECK(order[size_t(i)] == i);
}

void destruction_cancels_the_running_job_and_forgets_the_rest() {
  std::promise<void> started;
  bool noticed = false, second_ran = false;
  {
    JobQueue queue;
    const auto cancel = std::make_shared<CancelFlag>();
    queue.submit(cancel, [&, cancel] {
      started.set_value();
      while (!cancel->raised()) std::this_thread::yield();
      noticed = true;
    });
    queue.submit(std::make_shared<CancelFlag>(), [&] { second_ran = true; });
    started.get_future().wait();
  }
  CHECK(noticed);
  CHECK(!second_ran);
}

void a_thread_that_does_not_start_is_an_error() {
  JobQueue queue;
  bool first_ran = false;
  std::string message;
  threads_to_start = 0;
  try {
    queue.submit(std::make_shared<CancelFlag>(), [&] { first_ran = true; });
  } catch (const Error& error) {
    message = error.what();
  }
  threads_to_start = INT_MAX;
  CHECK(message.find("threads cannot be started: found 0 of 1 (") == 0);
  std::promise<void> ran;
  queue.submit(std::make_shared<CancelFlag>(), [&] { ran.set_value(); });
  ran.get_future().wait();
  CHECK(!first_ran);
}

}  // namespace

int main() {
  jobs_run_in_order_on_one_thread();
  destruction_cancels_the_running_job_and_forgets_the_rest();
  a_thread_that_does_not_start_is_an_error();
  return finish("job_queue");
}
