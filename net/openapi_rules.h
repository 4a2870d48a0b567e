// Says in JSON Schema what a request's values must be besides their types, for /openapi.json. Only the .cc
// files of net/ may include this header.
#pragma once

#include <boost/json.hpp>

#include "engine/engine.h"
#include "net/options.h"
#include "net/request_fields.h"

namespace uhd {

// Returns the names that clients may use for the model.
boost::json::array names_of(const ModelInfo& model);

// Adds to the property what holds for this field of this object: ranges, lengths, lists of words. An optional
// field may be null, a required one may not. `model` is null while none is served: its rules are left out.
void add_field_rules(FieldObject object, const RequestField& field, bool required, const ModelInfo* model,
                     const NetOptions& options, boost::json::object& property);

// Adds to the object's schema what its fields say about each other.
void add_object_rules(FieldObject object, const ModelInfo* model, boost::json::object& schema);

}  // namespace uhd
