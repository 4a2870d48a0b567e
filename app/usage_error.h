// Tells what is wrong with how the program was called, in one form and with one exit status.
#pragma once

#include <string>

#include "base/error.h"

namespace CLI {
class App;
}

namespace uhd {

// The exit statuses of every subcommand.
inline constexpr int kFailed = 1;      // it could not be done, or the answer is no
inline constexpr int kWrongUsage = 2;  // wrong arguments, or settings in the environment or a file

// A UsageError is an argument or a setting that cannot be meant.
class UsageError : public Error {
 public:
  using Error::Error;
};

// Says what is wrong with the arguments that `app` could not parse. A mistyped command or option is told with
// the nearest one of that command. `complaint` is the parser's own.
std::string usage_complaint(const CLI::App& app, const std::string& complaint);

// Returns the subcommand that the arguments name, or `app` if they name none.
const CLI::App& chosen_command(const CLI::App& app);

}  // namespace uhd
