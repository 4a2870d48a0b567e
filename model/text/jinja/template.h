// Chat templates are written in Jinja, with the settings of transformers (trim_blocks, lstrip_blocks, loop
// controls, its tojson, raise_exception, strftime_now). The missing parts of Jinja (imports, blocks, and the
// filters pprint, random, striptags, urlize, wordwrap, xmlattr) are an Error when the template is read, with
// the line. A template reaches nothing but the given values, and steps, text, nesting and lists are limited,
// so that a hostile template is an Error and not a hanging server.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "model/text/jinja/value.h"

namespace uhd {

// A JinjaTemplate is immutable and thread-safe.
class JinjaTemplate {
 public:
  explicit JinjaTemplate(std::string_view source);
  ~JinjaTemplate();
  JinjaTemplate(JinjaTemplate&&) noexcept;
  JinjaTemplate& operator=(JinjaTemplate&&) noexcept;

  // Returns the variables that it expects from outside, by name.
  std::set<std::string, std::less<>> free_names() const;
  MarkedText render(const jinja::Dict& variables) const;

 private:
  std::unique_ptr<jinja::Node> root_;
};

}  // namespace uhd
