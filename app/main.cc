// This is the program `uhd`: one binary for the server, its ranks and the tools around a checkpoint.
#include <fcntl.h>
#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>

#include "app/commands.h"
#include "base/error.h"
#include "base/log.h"

namespace {

// Opens the three standard files if the caller left them closed: otherwise the next sockets would get their
// numbers, and lines of the log would go there.
void open_standard_files() {
  for (int file = 0; file <= 2; ++file) {
    if (fcntl(file, F_GETFD) < 0) open("/dev/null", O_RDWR);
  }
}

// Returns true if everything printed has arrived; a reader that has gone wanted no more.
bool all_printed() { return std::fflush(stdout) == 0 || errno == EPIPE; }

}  // namespace

int main(int argc, char** argv) {
  open_standard_files();
  std::signal(SIGPIPE, SIG_IGN);  // a reader that has gone is an error of one write
  CLI::App app{"Distributed server for LLaVA-UHD vision-language models."};
  app.name("uhd");
  app.require_subcommand(1);
  app.set_version_flag("--version", "uhd " UHD_VERSION);
  app.set_help_all_flag("--help-all", "Help of every subcommand");
  app.footer(
      "Each subcommand's --help ends with examples. The shortest way to an answer:\n"
      "  uhd serve --model.path=models/nano-uhd");
  uhd::add_serve_command(app);
  uhd::add_generate_command(app);
  uhd::add_slices_command(app);
  uhd::add_check_command(app);
  uhd::add_plan_command(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& e) {  // the command has already said why
    return e.get_exit_code();
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const std::exception& e) {
    uhd::print_error(uhd::message("uhd: ", e.what()));
    return 1;
  }
  if (all_printed()) return 0;
  uhd::print_error(uhd::message("uhd: cannot write the output: ", std::strerror(errno)));
  return 1;
}
