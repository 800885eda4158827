#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace carat {
namespace {

std::atomic<Cancellation*> current{nullptr};
static_assert(std::atomic<Cancellation*>::is_always_lock_free);

void on_signal(int) {
  Cancellation* c = current.load();
  if (c == nullptr || c->requested()) _exit(static_cast<int>(Code::interrupted));
  c->request();
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action = {};
  action.sa_handler =
      on_signal;  // without SA_RESTART: a read from the terminal returns, so that a chat can end
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // A reader that has gone and a limit on the size of files (ulimit -f) are errors of the write, not deaths.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

InterruptScope::InterruptScope() : outer_(current.exchange(&cancellation_)) {}
InterruptScope::~InterruptScope() { current.store(outer_); }

}  // namespace carat
