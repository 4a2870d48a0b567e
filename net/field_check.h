// Holds the objects of a request's body to the list of known fields. Only the .cc files of net/ may include
// this header.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "net/options.h"
#include "net/request_fields.h"

namespace uhd {

// A FieldCheck serves one request. A field that is refused, or is accepted and of a wrong type, is thrown as
// an ApiError that names it. So is an unknown one, unless net.unknown_fields is "warn".
class FieldCheck {
 public:
  explicit FieldCheck(const NetOptions& options)
      : refuses_unknown_(options.unknown_fields != "warn"), values_left_(options.max_json_values) {}

  // `path` is what stands before the object's fields in errors: "" or "messages[0].".
  void check(FieldObject kind, const boost::json::object& object, std::string_view path);
  // Takes the place of a name that is not `wanted`: `nearest` is the one that is spelt most alike, if any.
  void unknown(std::string_view path, std::string_view name, std::string_view wanted,
               std::string_view nearest);

  // Returns false for names that are not worth the search for the nearest: long ones, which are like no
  // other, and those after the last that is told.
  bool may_measure(std::string_view name) const;

  // Parses an object that stands as a text within the body, and counts its values: all such texts of a
  // request may hold as many as a body.
  boost::json::object object_in_text(std::string_view text, const std::string& path);

  // Says which fields were left out, in ASCII for a header; empty if none were.
  const std::string& warning() const { return warning_; }

 private:
  const bool refuses_unknown_;
  int64_t values_left_;  // JSON values that texts may still hold
  int unknown_ = 0;
  std::string warning_;
};

}  // namespace uhd
