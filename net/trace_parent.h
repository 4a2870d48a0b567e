// Reads the header traceparent (https://www.w3.org/TR/trace-context/, section 3.2).
#pragma once

#include <string_view>

#include "engine/trace_context.h"

namespace uhd {

// Returns an empty context for a header that is malformed or not there, as the standard asks: such a request
// belongs to no trace. A later version than 00 may have more parts, which are left aside.
TraceContext parse_trace_parent(std::string_view header);

}  // namespace uhd
