// SIGINT and SIGTERM as requests: the first asks the work at hand to stop, the next one ends the process.
#pragma once

#include "base/context.h"

namespace carat {

/// Installs the handlers and ignores SIGPIPE (a closed pipe is then a failed write, reported as such).
void install_signal_handlers();

/// While it lives, the first signal goes to this scope's Cancellation and a second one exits with status 130.
/// Scopes nest; a signal that came in an inner scope is not passed on to the outer one, so that a chat can
/// stop one answer and go on.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
  const Cancellation& cancellation() const { return cancellation_; }

 private:
  Cancellation cancellation_;
  Cancellation* outer_;
};

}  // namespace carat
