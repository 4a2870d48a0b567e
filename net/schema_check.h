// Refuses JSON schemas of which a part would not be honoured. Only the .cc files of net/ may include this
// header.
#pragma once

#include <boost/json.hpp>
#include <string>

namespace uhd {

// XGrammar leaves out some keywords without a word (json_schema_converter.cc, SchemaParser::Parse): it reads
// one of $ref, const, enum, anyOf, oneOf, allOf and type, the first that is there, and not what stands beside
// it. Throws an ApiError that names the keyword. `path` is where the schema stands in the call.
void check_schema(const boost::json::object& schema, const std::string& path);

}  // namespace uhd
