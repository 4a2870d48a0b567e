// An ApiError is an error in OpenAI's form.
#pragma once

#include <string>
#include <vector>

#include "engine/request.h"
#include "net/http.h"

namespace uhd {

struct ApiError {
  int status = 400;
  std::string message;
  std::string param;  // the field, "messages[0].content"; empty: null
  std::string code;   // short and stable; empty: null
  double retry_after_s = 0;
  double again_s = 0;  // beyond 0, this is no answer yet: the call is to be submitted again after so long
};

// A FieldPlaces says where in a call stands what the engine may find fault with.
struct FieldPlaces {
  std::string prompt;               // the conversation or the prompt
  std::string rule;                 // the field that asks for the answer's grammar
  std::vector<std::string> images;  // each image, in its order
  std::string scores = {};          // the field that asks for the prompt's log-probabilities
};

ApiError api_error(const Failure& failure, const FieldPlaces& places);
std::string error_json(const ApiError& error);  // returns {"error": {...}}
HttpResponse error_response(const ApiError& error);

}  // namespace uhd
