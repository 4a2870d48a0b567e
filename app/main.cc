// This is the program `uhd`: one binary for the server, its ranks and the tools around a checkpoint.
#include <fcntl.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "app/commands.h"
#include "app/usage_error.h"
#include "base/error.h"
#include "base/host_memory.h"
#include "base/log.h"
#include "base/version.h"
#include "kernels/cpu/isa.h"

namespace {

// Opens the three standard files if the caller left them closed: otherwise the next sockets would get their
// numbers, and lines of the log would go there.
void open_standard_files() {
  for (int file = 0; file <= 2; ++file) {
    if (fcntl(file, F_GETFD) < 0) open("/dev/null", O_RDWR);
  }
}

// The parser would take "--name=" for an option without a value, and the next argument for its value.
std::vector<std::string> arguments_of(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool empty_value = argument.starts_with("--") && argument.find('=') == argument.size() - 1;
    arguments.push_back(empty_value ? argument.substr(0, argument.size() - 1) : argument);
    if (empty_value) arguments.emplace_back();
  }
  std::reverse(arguments.begin(), arguments.end());  // as the parser takes them
  return arguments;
}

int wrong_usage(const CLI::App& app, const std::string& complaint) {
  const CLI::App& command = uhd::chosen_command(app);
  uhd::print_error(uhd::message("uhd: ", complaint));
  const std::string name = &command == &app ? "uhd" : "uhd " + command.get_name();
  uhd::print_error(name + " --help lists what there is.");
  return uhd::kWrongUsage;
}

// Returns true if everything printed has arrived; a reader that has gone wanted no more.
bool all_printed() { return std::fflush(stdout) == 0 || errno == EPIPE; }

}  // namespace

int main(int argc, char** argv) {
  open_standard_files();
  uhd::keep_large_blocks_apart();
  uhd::cpu::ask_for_tiles();      // before libraries such as MPI's make threads
  std::signal(SIGPIPE, SIG_IGN);  // a reader that has gone is an error of one write
  CLI::App app{"Distributed server for LLaVA-UHD vision-language models."};
  app.name("uhd");
  app.require_subcommand(1);
  app.set_version_flag("--version", uhd::message("uhd ", uhd::version()));
  app.set_help_all_flag("--help-all", "Help of every subcommand");
  app.get_formatter()->column_width(38);
  app.footer(
      "Each subcommand's --help ends with examples. The shortest way to an answer:\n"
      "  uhd serve --model.path=models/nano-uhd\n"
      "Exit status: 0 done, 1 failed (or the answer is no), 2 wrong arguments or settings.");
  uhd::add_serve_command(app);
  uhd::add_generate_command(app);
  uhd::add_slices_command(app);
  uhd::add_check_command(app);
  uhd::add_plan_command(app);
  uhd::add_completion_command(app);
  uhd::add_bench_command(app);
  uhd::add_calibrate_command(app);
  uhd::add_batch_command(app);
  uhd::add_tokenize_command(app);
  try {
    app.parse(arguments_of(argc, argv));
  } catch (const CLI::RuntimeError& e) {  // the command has already said why
    return e.get_exit_code();
  } catch (const CLI::ArgumentMismatch& e) {
    const std::string what = e.what();
    const bool missing = what.ends_with(" missing");  // "--name: 1 required TEXT missing"
    return wrong_usage(app, missing ? what.substr(0, what.find(':')) + ": a value is missing" : what);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // help was asked for
    return wrong_usage(app, uhd::usage_complaint(app, e.what()));
  } catch (const uhd::UsageError& e) {
    return wrong_usage(app, e.what());
  } catch (const std::exception& e) {
    uhd::print_error(uhd::message("uhd: ", e.what()));
    return uhd::kFailed;
  }
  if (all_printed()) return 0;
  uhd::print_error(uhd::message("uhd: cannot write the output: ", std::strerror(errno)));
  return uhd::kFailed;
}
