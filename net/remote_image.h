// Fetches images of http and https URLs from hosts that the server's owner allows (net.image_hosts). The name
// is resolved once, every address it has must be public, and one of these addresses is connected to. No
// redirect is followed, no proxy is used, and no credential is sent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.h"
#include "net/api_error.h"
#include "net/image_intake.h"
#include "net/image_stream.h"
#include "net/options.h"
#include "net/remote_url.h"

namespace uhd {

// Returns the bytes of an image of at most options.max_image_bytes that came before the deadline. It blocks
// the calling thread, until soon after intake.stop at most. Room is taken for bytes as they come. Only so
// many fetches run at once that a thread is left for other requests; more are refused with 503. All that goes
// wrong at the other server gets one answer. The error has no param.
std::variant<std::string, ApiError> fetch_image(std::string_view url, const NetOptions& options,
                                                TimePoint deadline, const ImageIntake& intake = {});

// Reads the answer of an image's server: the second half of fetch_image().
std::variant<std::string, ApiError> read_image_answer(ImageStream& stream, int64_t max_bytes,
                                                      const TakeBytes& take);

}  // namespace uhd
