#include "app/usage_error.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <vector>

#include "base/edit_distance.h"

namespace uhd {
namespace {

std::string nearest_of(const std::string& name, const std::vector<std::string>& known) {
  const auto at = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
    return edit_distance(name, a) < edit_distance(name, b);
  });
  const bool near = at != known.end() && edit_distance(name, *at) <= std::max<size_t>(2, name.size() / 3);
  return near ? *at : "";
}

// Finds what `name` may be meant for: "port" for "net.port", "model" for "model.path", or what is spelt
// alike.
std::string meant_option(const CLI::App& command, const std::string& name) {
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& one : option->get_lnames()) known.push_back(one);
  }
  std::string alike = nearest_of(name, known);
  if (!alike.empty()) return alike;
  for (const std::string& one : known) {
    if (one.ends_with("." + name)) return one;
  }
  for (const std::string& one : known) {
    if (one.starts_with(name + ".")) return one;
  }
  return {};
}

std::string first_unknown(const std::vector<std::string>& left) {
  const auto option =
      std::find_if(left.begin(), left.end(), [](const auto& a) { return a.starts_with("-"); });
  if (option != left.end()) return option->substr(0, option->find('='));
  return left.empty() ? "" : left.front();
}

std::string unknown_argument(const CLI::App& command, const std::string& argument) {
  if (!argument.starts_with("-")) return message("unexpected argument '", argument, "'");
  const std::string meant = meant_option(command, argument.substr(argument.find_first_not_of('-')));
  return message(argument, ": unknown option", meant.empty() ? "" : "; did you mean --" + meant + "?");
}

std::string unknown_command(const CLI::App& app, const std::string& name) {
  std::vector<std::string> known;
  std::string list;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    known.push_back(command->get_name());
    list += (list.empty() ? "" : ", ") + command->get_name();
  }
  if (name.empty()) return "say a command: " + list;
  const std::string meant = nearest_of(name, known);
  return message("there is no command '", name, "'; ",
                 meant.empty() ? "there are " + list : "did you mean " + meant + "?");
}

}  // namespace

const CLI::App& chosen_command(const CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  return chosen.empty() ? app : *chosen.front();
}

std::string usage_complaint(const CLI::App& app, const std::string& complaint) {
  const CLI::App& command = chosen_command(app);
  const std::string own = first_unknown(command.remaining()), general = first_unknown(app.remaining());
  if (&command != &app) {
    if (!own.empty()) return unknown_argument(command, own);
    if (!general.empty()) return unknown_argument(command, general);
    return complaint;
  }
  return general.starts_with("-") ? unknown_argument(app, general) : unknown_command(app, general);
}

}  // namespace uhd
