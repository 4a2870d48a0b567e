#include "app/load_trace.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <sstream>

#include "base/error.h"

namespace uhd {
namespace {

namespace json = boost::json;

constexpr size_t kMostSessions = 1'000'000;
constexpr double kLongestWait = 1e12;  // microseconds

// Whole numbers come back from JSON exactly, whatever parses them.
int64_t microseconds_of(double seconds) { return std::llround(seconds * 1e6); }

double drawn_share(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

// Words of lower case letters; no two texts begin alike, so that no server answers from its cache of prompts.
std::string drawn_text(int characters, std::mt19937_64& random) {
  std::string text;
  while (static_cast<int>(text.size()) < characters) {
    const uint64_t draw = random();
    for (uint64_t i = 0; i < 3 + draw % 6; ++i) text += static_cast<char>('a' + (draw >> (8 + 5 * i)) % 26);
    text += ' ';
  }
  text.resize(static_cast<size_t>(characters));
  return text;
}

json::object object_of(const LoadTurn& turn) {
  json::array pictures;
  for (const DrawnPicture& p : turn.pictures) {
    pictures.push_back(
        p.file.empty()
            ? json::object{{"kind", p.kind}, {"width", p.width}, {"height", p.height}, {"seed", p.seed}}
            : json::object{{"file", p.file}});
  }
  return {{"text", turn.text}, {"pictures", std::move(pictures)}, {"max_tokens", turn.max_tokens}};
}

// One line of a trace; every member is looked at, and a wrong one is an Error.
class TraceLine {
 public:
  TraceLine(const json::value& value, std::string where) : where_(std::move(where)) {
    require(value.is_object(), where_, ": a session is an object");
    object_ = &value.get_object();
  }
  double number(const char* key, double most) const {
    const json::value* value = object_->if_contains(key);
    require(value != nullptr && value->is_number(), where_, ": ", key, " is no number");
    const double number = value->to_number<double>();
    require(number >= 0 && number <= most, where_, ": ", key, " is ", number, ", not within 0 to ", most);
    return number;
  }
  bool has(const char* key) const { return object_->contains(key); }
  // A member that may be left out.
  bool flag(const char* key) const {
    const json::value* value = object_->if_contains(key);
    require(value == nullptr || value->is_bool(), where_, ": ", key, " is neither true nor false");
    return value != nullptr && value->get_bool();
  }
  std::string text(const char* key) const {
    const json::value* value = object_->if_contains(key);
    require(value != nullptr && value->is_string(), where_, ": ", key, " is no text");
    return std::string(value->get_string());
  }
  std::vector<TraceLine> list(const char* key) const {
    const json::value* value = object_->if_contains(key);
    require(value != nullptr && value->is_array(), where_, ": ", key, " is no list");
    require(value->get_array().size() <= 1000, where_, ": ", key, " is longer than 1000");
    std::vector<TraceLine> lines;
    for (const json::value& item : value->get_array()) lines.emplace_back(item, where_ + ", " + key);
    return lines;
  }

 private:
  const json::object* object_;
  std::string where_;
};

LoadTurn turn_of(const TraceLine& line) {
  LoadTurn turn{.text = line.text("text"), .max_tokens = static_cast<int>(line.number("max_tokens", 1e6))};
  for (const TraceLine& picture : line.list("pictures")) {
    if (picture.has("file")) {
      turn.pictures.push_back({.file = picture.text("file")});
      continue;
    }
    turn.pictures.push_back({picture.text("kind"),
                             static_cast<int>(picture.number("width", kLargestDrawnSide)),
                             static_cast<int>(picture.number("height", kLargestDrawnSide)),
                             static_cast<uint64_t>(picture.number("seed", 0x1p53))});
  }
  return turn;
}

}  // namespace

std::vector<LoadSession> draw_trace(const LoadMix& mix) {
  std::mt19937_64 random(mix.seed);
  std::vector<LoadSession> sessions;
  double at = 0;
  for (int i = 0; i < mix.sessions; ++i) {
    if (i > 0 && i % mix.burst == 0) at += -std::log1p(-drawn_share(random)) * mix.burst / mix.rate;
    LoadSession session{.at_s = at, .think_s = mix.think_s};
    for (int turn = 0; turn < mix.turns; ++turn) {
      LoadTurn& next = session.turns.emplace_back();
      next.text = drawn_text(mix.text, random);
      next.max_tokens = mix.max_tokens;
      for (int p = 0; turn == 0 && !mix.file.empty() && p < mix.pictures_a_turn; ++p)
        next.pictures.push_back({.file = mix.file});
      for (int p = 0; turn == 0 && mix.pictures != "none" && p < mix.pictures_a_turn; ++p) {
        DrawnPicture picture = choose_picture(mix.pictures, random);
        if (mix.width > 0) picture.width = mix.width;
        if (mix.height > 0) picture.height = mix.height;
        next.pictures.push_back(std::move(picture));
      }
    }
    sessions.push_back(std::move(session));
  }
  return sessions;
}

std::string trace_text(const std::vector<LoadSession>& sessions) {
  std::string text;
  for (const LoadSession& session : sessions) {
    json::array turns;
    for (const LoadTurn& turn : session.turns) turns.push_back(object_of(turn));
    json::object line{{"at_us", microseconds_of(session.at_s)},
                      {"think_us", microseconds_of(session.think_s)}};
    if (session.beside) line["beside"] = true;
    line["turns"] = std::move(turns);
    text += json::serialize(line);
    text += '\n';
  }
  return text;
}

std::vector<LoadSession> parse_trace(const std::string& text, const std::string& name) {
  std::vector<LoadSession> sessions;
  bool all_beside = true;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.empty()) continue;
    const std::string where = message(name, ": line ", number);
    boost::system::error_code error;
    const json::value value = json::parse(line, error);
    require(!error, where, " is not JSON");
    const TraceLine read(value, where);
    LoadSession session{.at_s = read.number("at_us", kLongestWait) / 1e6,
                        .think_s = read.number("think_us", kLongestWait) / 1e6,
                        .beside = read.flag("beside")};
    for (const TraceLine& turn : read.list("turns")) session.turns.push_back(turn_of(turn));
    require(!session.turns.empty(), where, ": a session has no turn");
    require(sessions.size() < kMostSessions, where, ": more than ", kMostSessions, " sessions");
    all_beside = all_beside && session.beside;
    sessions.push_back(std::move(session));
  }
  require(!sessions.empty(), name, " holds no session");
  require(!all_beside, name, ": every session is beside others, and there is none");
  return sessions;
}

}  // namespace uhd
