// An ApiError is an error in OpenAI's form.
#pragma once

#include <string>

#include "engine/request.h"
#include "net/http.h"

namespace uhd {

struct ApiError {
  int status = 400;
  std::string message;
  std::string param;  // the field, "messages[0].content"; empty: null
  std::string code;   // short and stable; empty: null
  double retry_after_s = 0;
  bool waits = false;  // no answer yet: the request is to be submitted again soon
};

ApiError api_error(const Failure& failure);
std::string error_json(const ApiError& error);  // returns {"error": {...}}
HttpResponse error_response(const ApiError& error);

}  // namespace uhd
