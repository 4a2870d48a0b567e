// Describes the API as an OpenAPI 3.1 document, from the list of request fields.
#pragma once

#include <string>

#include "engine/engine.h"
#include "net/options.h"

namespace uhd {

// Returns the document as JSON. Where net.unknown_fields is not "warn", objects say that they take no other
// fields. `model` is null while none is served: the document then leaves out what depends on it.
std::string openapi_json(const NetOptions& options, const ModelInfo* model);

}  // namespace uhd
