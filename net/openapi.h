// Describes the API as an OpenAPI 3.1 document, from the list of request fields.
#pragma once

#include <string>

namespace uhd {

// Returns the document as JSON. With `refuses_unknown`, objects say that they take no other fields.
std::string openapi_json(bool refuses_unknown);

}  // namespace uhd
