// The program `uhd`: one binary for the server, its ranks and the tools around a checkpoint.
#include <CLI/CLI.hpp>
#include <csignal>
#include <exception>

#include "app/commands.h"
#include "base/error.h"
#include "base/log.h"

int main(int argc, char** argv) {
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
  } catch (const CLI::RuntimeError& e) {  // a command has said already what is wrong
    return e.get_exit_code();
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const std::exception& e) {
    uhd::print_error(uhd::message("uhd: ", e.what()));
    return 1;
  }
  return 0;
}
