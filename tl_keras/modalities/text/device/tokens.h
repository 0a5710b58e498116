// Splits a text into the model's token ids, as in training. C++11, no dependencies.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

constexpr int kStart = $start, kEnd = $end;  // ids around a text; -1 for none
constexpr int kUnknown = $unknown;  // id of a word that cannot be split
constexpr int kLength = $length;  // ids in a window at most; 0 for any number
constexpr bool kLowercase = $lowercase, kStripAccents = $strip_accents, kSplitChinese = $split_chinese;
constexpr size_t kLongestWord = 100;  // characters; a longer word is unknown

using Text = std::vector<int32_t>;  // code points

// The table of characters in characters.txt.
struct Characters {
  using Ranges = std::vector<std::pair<int32_t, int32_t>>;
  Ranges drop, space, chinese, mark, punctuation;
  std::unordered_map<int32_t, Text> decompose, lower;
  std::unordered_map<int32_t, int> rank;  // canonical combining classes above 0, in their order

  static bool Within(int32_t character, const Ranges& ranges) {
    auto next = std::upper_bound(ranges.begin(), ranges.end(), std::make_pair(character, INT32_MAX));
    return next != ranges.begin() && character <= (next - 1)->second;
  }
};

class Tokens {
 public:
  // Reads vocab.txt and characters.txt. If a file is missing or empty, `ready` returns false.
  Tokens(const std::string& vocabulary, const std::string& characters) {
    std::ifstream words(vocabulary, std::ios::binary);
    std::string line;
    for (int id = 0; std::getline(words, line); ++id) {
      ids_[line] = id;
      longest_ = std::max(longest_, line.size());
    }
    std::ifstream table(characters, std::ios::binary);
    while (std::getline(table, line)) Add(line);
  }

  bool ready() const { return !ids_.empty() && !table_.space.empty() && !table_.lower.empty(); }

  // Returns the model's inputs: the windows of a text, which have about the same length. `text`: UTF-8; bytes
  // that are not UTF-8 are left out.
  std::vector<std::vector<int32_t>> Encode(const std::string& text) const {
    const std::vector<int32_t> pieces = Pieces(text);
    const size_t room = kLength > 0 ? kLength - (kStart >= 0) - (kEnd >= 0) : pieces.size() + 1;
    const size_t count = std::max<size_t>((pieces.size() + room - 1) / room, 1);
    std::vector<std::vector<int32_t>> windows(count);
    auto next = pieces.begin();
    for (size_t i = 0; i < count; ++i) {
      const auto end = next + pieces.size() / count + (i < pieces.size() % count);
      if (kStart >= 0) windows[i].push_back(kStart);
      windows[i].insert(windows[i].end(), next, end);
      if (kEnd >= 0) windows[i].push_back(kEnd);
      next = end;
    }
    return windows;
  }

  // Returns the token ids of all of a text, without start and end.
  std::vector<int32_t> Pieces(const std::string& text) const {
    std::vector<int32_t> pieces;
    for (const Text& word : Words(text)) Split(word, &pieces);
    return pieces;
  }

 private:
  std::unordered_map<std::string, int32_t> ids_;
  size_t longest_ = 0;  // bytes of the longest token
  Characters table_;

  // Adds a line of characters.txt, such as `lower 41:61 42:62`.
  void Add(const std::string& line) {
    std::istringstream parts(line);
    std::string name, entry;
    parts >> name;
    while (name != "#" && parts >> entry) {
      const size_t colon = entry.find(':');
      if (name == "decompose" || name == "lower") {
        auto& changes = name == "lower" ? table_.lower : table_.decompose;
        Text& becomes = changes[Hex(entry)];
        for (size_t at = colon; at < entry.size(); at = entry.find(',', at + 1)) {
          becomes.push_back(Hex(entry.substr(at + 1)));
        }
      } else if (name == "rank") {
        const std::pair<int32_t, int32_t> range = Range(entry.substr(colon + 1));
        for (int32_t c = range.first; c <= range.second; ++c) table_.rank[c] = std::stoi(entry);
      } else {
        Characters::Ranges& ranges = name == "drop"      ? table_.drop
                                     : name == "space"   ? table_.space
                                     : name == "chinese" ? table_.chinese
                                     : name == "mark"    ? table_.mark
                                                         : table_.punctuation;
        ranges.push_back(Range(entry));
      }
    }
  }

  static int32_t Hex(const std::string& digits) { return std::stoi(digits, nullptr, 16); }

  static std::pair<int32_t, int32_t> Range(const std::string& entry) {
    const size_t dash = entry.find('-');
    const int32_t first = Hex(entry);
    return {first, dash == std::string::npos ? first : Hex(entry.substr(dash + 1))};
  }

  static void Decode(const std::string& text, Text* characters) {
    for (size_t i = 0; i < text.size();) {
      const uint8_t lead = text[i++];
      int left = lead < 0x80 ? 0 : lead >> 5 == 6 ? 1 : lead >> 4 == 14 ? 2 : lead >> 3 == 30 ? 3 : -1;
      if (left < 0) continue;
      int32_t character = left == 0 ? lead : lead & (0x3F >> left);
      const int32_t least = left == 1 ? 0x80 : left == 2 ? 0x800 : left == 3 ? 0x10000 : 0;
      for (; left > 0 && i < text.size() && (text[i] & 0xC0) == 0x80; --left) {
        character = character << 6 | (text[i++] & 0x3F);
      }
      const bool surrogate = character >= 0xD800 && character < 0xE000;
      if (left == 0 && character >= least && !surrogate && character < 0x110000) {
        characters->push_back(character);
      }
    }
  }

  void Decompose(int32_t character, Text* parts) const {
    const int32_t syllable = character - 0xAC00;
    if (syllable >= 0 && syllable < 11172) {  // Korean
      parts->push_back(0x1100 + syllable / 588);
      parts->push_back(0x1161 + syllable / 28 % 21);
      if (syllable % 28) parts->push_back(0x11A7 + syllable % 28);
      return;
    }
    const auto found = table_.decompose.find(character);
    if (found == table_.decompose.end()) return parts->push_back(character);
    parts->insert(parts->end(), found->second.begin(), found->second.end());
  }

  int Rank(int32_t character) const {
    const auto found = table_.rank.find(character);
    return found == table_.rank.end() ? 0 : found->second;
  }

  // Sorts the combining characters between two others by their class, as NFD does.
  void Order(Text* text) const {
    for (auto first = text->begin(); first != text->end();) {
      auto last = first;
      while (last != text->end() && Rank(*last) > 0) ++last;
      std::stable_sort(first, last, [this](int32_t a, int32_t b) { return Rank(a) < Rank(b); });
      first = last == text->end() ? last : last + 1;
    }
  }

  std::vector<Text> Words(const std::string& utf8) const {
    Text characters, clean;
    Decode(utf8, &characters);
    for (const int32_t c : characters) {
      if (Characters::Within(c, table_.drop)) continue;
      const bool alone = kSplitChinese && Characters::Within(c, table_.chinese);
      if (alone) clean.push_back(' ');
      if (kStripAccents) Decompose(c, &clean); else clean.push_back(c);
      if (alone) clean.push_back(' ');
    }
    if (kStripAccents) Order(&clean);
    std::vector<Text> words(1);
    for (const int32_t c : clean) {
      if (kStripAccents && Characters::Within(c, table_.mark)) continue;
      const auto lower = kLowercase ? table_.lower.find(c) : table_.lower.end();
      for (const int32_t part : lower == table_.lower.end() ? Text{c} : lower->second) {
        if (Characters::Within(part, table_.space)) {
          words.emplace_back();
        } else if (Characters::Within(part, table_.punctuation)) {
          words.push_back({part});
          words.emplace_back();
        } else {
          words.back().push_back(part);
        }
      }
    }
    return words;
  }

  static void AppendUtf8(int32_t c, std::string* text) {
    const int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const int kLead[] = {0, 0xC0, 0xE0, 0xF0};
    text->push_back(static_cast<char>(kLead[more] | c >> (6 * more)));
    for (int i = more - 1; i >= 0; --i) text->push_back(static_cast<char>(0x80 | (c >> (6 * i) & 0x3F)));
  }

  // Adds the ids of a word: at each place, the longest token that continues the word.
  void Split(const Text& word, std::vector<int32_t>* pieces) const {
    if (word.empty()) return;
    if (word.size() > kLongestWord) return pieces->push_back(kUnknown);
    std::string bytes;
    std::vector<size_t> ends;  // of the characters, in bytes
    for (const int32_t c : word) {
      AppendUtf8(c, &bytes);
      ends.push_back(bytes.size());
    }
    const size_t before = pieces->size();
    for (size_t start = 0, from = 0; start < word.size();) {
      const std::string prefix = start == 0 ? "" : "##";
      size_t end = word.size();
      for (; end > start; --end) {
        if (ends[end - 1] - from > longest_) continue;
        const auto token = ids_.find(prefix + bytes.substr(from, ends[end - 1] - from));
        if (token == ids_.end()) continue;
        pieces->push_back(token->second);
        break;
      }
      if (end == start) {
        pieces->resize(before);
        return pieces->push_back(kUnknown);
      }
      start = end;
      from = ends[end - 1];
    }
  }
};
