// A parsed chat template is a tree of these nodes.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/text/jinja/value.h"

namespace uhd::jinja {

enum class Kind : uint8_t {
  // These kinds are expressions. Children are in the order of writing; a missing part is null.
  constant,     // value
  name,         // text
  attribute,    // .text of child 0
  item,         // child 0 [child 1]
  slice,        // child 0 [child 1 : child 2 : child 3]
  call,         // child 0 (children 1.. , keywords)
  filter,       // child 0 | text(children 1.., keywords)
  test,         // child 0 is text(children 1..)
  unary,        // text is - + or not
  binary,       // text is + - ~ * / // % **
  compare,      // names: == != < > <= >= in or "not in" between the children
  logic_and,    // child 0 and child 1
  logic_or,     // child 0 or child 1
  conditional,  // child 0 if child 1 else child 2
  list,
  tuple,
  dict,      // key, value, key, value, ...
  captured,  // the text that child 0, a statement, makes
  // These kinds are statements.
  body,        // children in order
  text,        // value
  output,      // {{ child 0 }}
  if_else,     // condition, body, condition, body, ..., [body of else]
  for_loop,    // target; children: iterable, filter or null, body, else body or null
  set,         // target, or names: {namespace, attribute}; child 0: value
  macro,       // text: name; names: parameters; children: body, then defaults of the last parameters
  call_block,  // child 0: a call; child 1: the macro that it gets as `caller`
  with,        // names: variables; children: their values, then the body
  leave,       // break
  next,        // continue
};

struct Node;
using NodePtr = std::unique_ptr<Node>;

struct Node {
  Kind kind;
  int line = 0;
  int depth = 1;  // the depth of the tree below; the parser limits it, so recursion over it is safe
  std::string text;
  Value value;
  bool on_namespace = false;  // set: names are {namespace, attribute}
  bool recursive = false;     // for_loop: may call itself as loop(...)
  std::vector<std::string> names;
  NodePtr target;  // a name, or a tuple of targets to unpack
  std::vector<NodePtr> children;
  std::vector<std::pair<std::string, NodePtr>> keywords;  // name = value; "*" and "**" spread theirs
};

}  // namespace uhd::jinja
