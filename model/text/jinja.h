// The language that chat templates are written in: the part of Jinja that published ones use, with the
// settings of transformers (trim_blocks, lstrip_blocks). Nothing outside the given values can be reached, and
// steps, text, nesting and lists are limited, so that a hostile template is an Error and not a hanging
// server.
#pragma once

#include <memory>
#include <string_view>

#include "model/text/jinja_value.h"

namespace uhd {

// Immutable; thread-safe.
class JinjaTemplate {
 public:
  explicit JinjaTemplate(std::string_view source);
  ~JinjaTemplate();
  JinjaTemplate(JinjaTemplate&&) noexcept;
  JinjaTemplate& operator=(JinjaTemplate&&) noexcept;

  MarkedText render(const jinja::Dict& variables) const;
  // Whether it loops over the `content` of something: it wants the parts of a turn, not their text.
  bool loops_over_content() const { return loops_over_content_; }

 private:
  std::unique_ptr<jinja::Node> root_;
  bool loops_over_content_ = false;
};

}  // namespace uhd
