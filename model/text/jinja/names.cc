#include "model/text/jinja/names.h"

#include <algorithm>
#include <set>

#include "model/text/jinja/builtins.h"

namespace uhd::jinja {
namespace {

template <class Visit>
void for_each_child(const Node& node, Visit visit) {
  if (node.target) visit(*node.target);
  for (const NodePtr& child : node.children) {
    if (child) visit(*child);
  }
  for (const auto& [name, value] : node.keywords) visit(*value);
}

struct NameUse {
  std::set<std::string, std::less<>> read, set, asked;

  void collect(const Node& node) {
    if (node.kind == Kind::name) read.insert(node.text);
    const bool names_variables = node.kind == Kind::macro || node.kind == Kind::with;
    if (names_variables) set.insert(node.names.begin(), node.names.end());
    if (node.kind == Kind::macro) set.insert(node.text);
    if (node.target) collect_targets(*node.target);
    const bool asks = (node.kind == Kind::test && (node.text == "defined" || node.text == "undefined")) ||
                      (node.kind == Kind::filter && (node.text == "default" || node.text == "d"));
    if (asks && node.children[0]->kind == Kind::name) asked.insert(node.children[0]->text);
    for_each_child(node, [&](const Node& child) { collect(child); });
  }
  void collect_targets(const Node& target) {
    if (target.kind == Kind::name) set.insert(target.text);
    for (const NodePtr& child : target.children) collect_targets(*child);
  }
};

class NameCheck {
 public:
  void run(const Node& root) {
    collect(root);
    check(root);
  }

 private:
  [[noreturn]] static void refuse(const Node& node, const std::string& fault) {
    fail(fault + ", line " + std::to_string(node.line));
  }

  // Lists the names that the template itself gives a value: variables, and members of namespaces and
  // mappings.
  void collect(const Node& node) {
    defined_.insert(node.names.begin(), node.names.end());
    if (node.kind == Kind::macro) defined_.insert(node.text);
    if (node.target) collect_targets(*node.target);
    for (const auto& [name, value] : node.keywords) defined_.insert(name);
    if (node.kind == Kind::dict) {
      for (size_t i = 0; i < node.children.size(); i += 2) {
        const Node& key = *node.children[i];
        if (key.kind == Kind::constant && key.value.is(Type::string)) defined_.insert(key.value.str());
      }
    }
    for_each_child(node, [&](const Node& child) { collect(child); });
  }
  void collect_targets(const Node& target) {
    if (target.kind == Kind::name) defined_.insert(target.text);
    for (const NodePtr& child : target.children) collect_targets(*child);
  }

  void check(const Node& node) {
    if (node.kind == Kind::filter) check_filter(node);
    if (node.kind == Kind::test && !is_test(node.text))
      refuse(node, "the test '" + node.text + "' is not supported");
    if (node.kind == Kind::call) check_call(node);
    for_each_child(node, [&](const Node& child) { check(child); });
  }

  // Also the names that map, select and the like are given.
  static void check_filter(const Node& node) {
    if (!is_filter(node.text)) refuse(node, "the filter '" + node.text + "' is not supported");
    const bool by_attribute = node.text == "selectattr" || node.text == "rejectattr";
    const size_t place = by_attribute ? 2 : 1;
    if (node.children.size() <= place) return;
    const Node& name = *node.children[place];
    if (name.kind != Kind::constant || !name.value.is(Type::string)) return;
    if (node.text == "map" && !is_filter(name.value.str()))
      refuse(node, "the filter '" + name.value.str() + "' is not supported");
    if ((by_attribute || node.text == "select" || node.text == "reject") && !is_test(name.value.str()))
      refuse(node, "the test '" + name.value.str() + "' is not supported");
  }

  void check_call(const Node& node) const {
    const Node& callee = *node.children[0];
    const bool known = callee.kind == Kind::name
                           ? function_of(callee.text) || callee.text == "caller" || callee.text == "loop"
                       : callee.kind == Kind::attribute ? is_method(callee.text)
                                                        : true;
    if (known || defined_.contains(callee.text)) return;
    refuse(node, callee.kind == Kind::name ? "'" + callee.text + "' is no function"
                                           : "the method '" + callee.text + "' is not supported");
  }

  std::set<std::string, std::less<>> defined_;
};

}  // namespace

void check_names(const Node& root) { NameCheck().run(root); }

std::set<std::string, std::less<>> free_names(const Node& root) {
  NameUse use;
  use.collect(root);
  for (const std::string& name : use.set) use.read.erase(name);
  use.read.insert(use.asked.begin(), use.asked.end());
  return use.read;
}

bool reads_name(const Node& node, std::string_view name) {
  if (node.kind == Kind::name && node.text == name) return true;
  bool found = false;
  for_each_child(node, [&](const Node& child) { found = found || reads_name(child, name); });
  return found;
}

}  // namespace uhd::jinja
