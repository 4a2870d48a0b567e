// uhd completion prints what a shell needs to complete the program's commands, options, settings and their
// values.
#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <sstream>

#include "app/commands.h"
#include "configs/settings.h"

namespace uhd {
namespace {

// zsh runs completions that were written for bash.
constexpr const char* kZsh =
    "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n";

// A value stands behind its option's name and '=' or a space. bash makes a word of the '=', zsh does not.
// Names of settings end in '=' in bash, with no space behind them; zsh has no compopt to leave it out, so
// that a space goes between there. Where no option begins and no values are known, files are completed.
constexpr const char* kBegin = R"(_uhd() {
  local word=${COMP_WORDS[COMP_CWORD]} name=${COMP_WORDS[COMP_CWORD-1]} prefix= words= values=
  if [[ $word == --*=* ]]; then
    name=${word%%=*} prefix=${word%%=*}= word=${word#*=}
  elif [[ $word == "=" ]]; then
    word=
  elif [[ $name == "=" ]]; then
    name=${COMP_WORDS[COMP_CWORD-2]}
  fi
)";
constexpr const char* kEnd = R"(  if [[ -n $values ]]; then
    COMPREPLY=($(compgen -P "$prefix" -W "$values" -- "$word"))
  elif [[ $COMP_CWORD = 1 || $word == -* ]]; then
    [[ -z $ZSH_VERSION ]] || words=${words//=/}
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
  else
    [[ -n $ZSH_VERSION ]] || compopt -o filenames
    COMPREPLY=($(compgen -P "$prefix" -f -- "$word"))
  fi
}
complete -F _uhd uhd
)";

// The parser tells the values of CLI::IsMember in an option's type alone: "TEXT:{bash,zsh}".
std::string values_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{'), end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos) return "";
  std::string values = type.substr(begin + 1, end - begin - 1);
  std::replace(values.begin(), values.end(), ',', ' ');
  return values;
}

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

// Writes what may follow a command's options, or its name.
void write_values(std::ostream& out, const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    const std::string values = values_of(*option);
    if (values.empty()) continue;
    const std::string name =
        option->get_positional() ? command.get_name() : "--" + option->get_lnames().front();
    out << "    '" << command.get_name() << ' ' << name << "') values='" << values << "' ;;\n";
  }
}

// Writes what may follow a setting, whichever command has it.
void write_values_of_settings(std::ostream& out) {
  ServerConfig defaults;
  for (const Setting& setting : settings_of(defaults)) {
    std::string values;
    for (const std::string& value : setting.values()) values += (values.empty() ? "" : " ") + value;
    if (!values.empty()) out << "    *' --" << setting.name << "') values='" << values << "' ;;\n";
  }
}

std::string completion(const CLI::App& app) {
  const std::vector<const CLI::App*> commands = app.get_subcommands([](const CLI::App*) { return true; });
  std::ostringstream out;
  out << kBegin << "  case $COMP_CWORD:${COMP_WORDS[1]} in\n    1:*) words='";
  for (const CLI::App* command : commands) out << ' ' << command->get_name();
  out << "' ;;\n";
  for (const CLI::App* command : commands) {
    out << "    *:" << command->get_name() << ") words='" << options_of(*command) << "' ;;\n";
  }
  out << "  esac\n  case \"${COMP_WORDS[1]} $name\" in\n";
  for (const CLI::App* command : commands) write_values(out, *command);
  write_values_of_settings(out);
  out << "  esac\n" << kEnd;
  return out.str();
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
