// uhd completion prints what a shell needs to complete the program's commands, options and settings.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <sstream>

#include "app/commands.h"
#include "base/error.h"

namespace uhd {
namespace {

// zsh runs completions that were written for bash.
constexpr const char* kZsh =
    "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n";

// Names of options end in '=' where a value follows at once, so no space is put behind them. Behind other
// options, and where no option begins, files are completed.
constexpr const char* kBegin = R"(_uhd() {
  local word=${COMP_WORDS[COMP_CWORD]} words=
  compopt -o nospace
  [ "$COMP_CWORD" = 1 ] || case ${COMP_WORDS[1]} in
)";
constexpr const char* kEnd = R"(  esac
  if [[ $COMP_CWORD = 1 || $word == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] || compopt +o nospace
  else
    compopt +o nospace -o filenames
    COMPREPLY=($(compgen -f -- "${word#=}"))
  fi
}
complete -F _uhd uhd
)";

std::string options_of(const CLI::App& command) {
  std::string words;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      const bool setting = name.find('.') != std::string::npos;
      words += " --" + name + (setting ? "=" : "");
    }
  }
  return words;
}

std::string completion(const CLI::App& app) {
  std::ostringstream out;
  std::string commands;
  out << kBegin;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    commands += " " + command->get_name();
    out << "    " << command->get_name() << ") words='" << options_of(*command) << "' ;;\n";
  }
  std::string text = out.str();
  const std::string empty = "words=\n";
  return text.replace(text.find(empty), empty.size(), "words='" + commands + "'\n") + kEnd;
}

}  // namespace

void add_completion_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("completion", "Print completions for a shell");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
  command->footer("Examples:\n  source <(uhd completion bash)\n  source <(uhd completion zsh)");
  command->callback(
      [&app, shell] { std::fputs(((*shell == "zsh" ? kZsh : "") + completion(app)).c_str(), stdout); });
}

}  // namespace uhd
