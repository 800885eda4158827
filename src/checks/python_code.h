// The program in a model's reply.
#pragma once

#include <string>
#include <string_view>

namespace carat {

/// What a reply to "complete this function" or "write a function" means as a whole program:
///  - the fenced block that defines `entry_point`, or the first block tagged python, or the first block; a
///  block that
///    the end of the reply cuts off counts;
///  - without fences the reply itself, from the first line that looks like code if it defines `entry_point`;
///  - put behind `prompt` if it defines `entry_point` (the definition there is replaced, imports and helpers
///  stay);
///  - otherwise it is the body that continues `prompt`, cut at the first line that leaves it, and indented
///  where the
///    model (or the trimming of its reply) took the indentation away.
/// `prompt` may be empty; then the code is the program. Any text.
std::string program_of(std::string_view reply, std::string_view prompt, std::string_view entry_point);

}  // namespace carat
