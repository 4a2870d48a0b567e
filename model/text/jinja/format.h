// Formats text in Python's two ways: 'a %s' % values and 'a {}'.format(values).
#pragma once

#include "model/text/jinja/builtins.h"
#include "model/text/jinja/value.h"

namespace uhd::jinja {

// `format` is a text; a tuple gives several values, a mapping gives those of %(name)s.
MarkedText percent_format(const Value& format, const Value& values, Budget& budget);
MarkedText brace_format(const Value& format, const Arguments& arguments, Budget& budget);

}  // namespace uhd::jinja
